"""The struct page array: what each page is, and where the memory has gone."""
