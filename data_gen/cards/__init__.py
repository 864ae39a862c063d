"""What a data set is described with: its card, and how its pairs differ."""
