"""What other sites show beside a link to the page: its tags in the served HTML, its picture."""
