"""The JSON Schemas of the commands' records; ``tools/report_schemas.py`` makes them."""
