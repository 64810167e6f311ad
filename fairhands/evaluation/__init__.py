"""What came of guidance and training, in numbers: judges, measures, reports."""
