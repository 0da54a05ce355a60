"""Problems of active learning: pools and streams of rows whose labels cost."""
