"""What the org holds: kinds of records, the records, and the company they tell of."""
