"""What several tests share: distribution files, servers, sample settings."""
