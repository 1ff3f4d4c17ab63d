"""Is a backend right? An independent oracle, directed cases, known deviations of libraries, golden vectors."""
