"""What reports are made of: tables, figures, statistics, the page. They are told columns, and know no benchmark."""
