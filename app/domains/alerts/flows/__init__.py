"""What attack flows are made of: links between clusters, the steps drawn, and their STIX form."""
