"""One HTML file a dataset that holds everything about its runs and opens without a network."""
