"""The control plane over HTTP: the API and the web pages."""
