"""Active learning: learners buy labels of a pool or a stream, and are judged on rows that they never ask for."""
