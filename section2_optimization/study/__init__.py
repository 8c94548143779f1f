"""What the comparison of this section is made of: data, methods, trainings, verdicts, figures."""
