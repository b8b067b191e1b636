"""What the commands print: a module a command has its record, the CSV columns, and the text.

The record is what JSON shows as it is; where it has many members, ``*_record.py`` says which.
``members.py`` has what several records share, ``text.py`` the words and widths of text, the
``as_*`` modules the forms, ``schemas/`` a JSON Schema a command.
"""
