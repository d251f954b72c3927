"""What other monitoring tools see of a deployment: figures to scrape, rules, routes, dashboards."""
