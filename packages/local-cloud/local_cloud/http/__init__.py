"""How requests arrive: slow and broken clients are dealt with before they cost a thread. Knows HTTP, nothing about AWS."""
