"""What a finished run looks like: summary tables, image sheets, plots and one self-contained HTML page."""
