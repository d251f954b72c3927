"""Where Homeostat is entered: settings, wiring, command line, HTTP and the gateway."""
