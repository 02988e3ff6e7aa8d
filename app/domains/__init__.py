"""What happens to records, one folder a domain; no pipeline knows another."""
