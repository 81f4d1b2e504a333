"""What people configure: meters, products with prices and benefits, settings; reads and checks a project folder."""
