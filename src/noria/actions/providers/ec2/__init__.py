"""Amazon EC2, by boto3 (extra `ec2`)."""
