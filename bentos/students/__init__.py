"""The room of `students`: which grade a pupil will reach, and whether the pupil also takes the other course."""
