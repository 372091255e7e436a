"""S3 on disk: where object content lies, and the fast path for the requests that come by the thousand."""
