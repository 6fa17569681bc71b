"""What the feature store holds of pupils: `definitions` for Feast, `views` for everybody who does without it."""
