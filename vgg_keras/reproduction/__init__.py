"""Section 4 by one command: suites as data, their runs, and the page that judges the paper's claims."""
