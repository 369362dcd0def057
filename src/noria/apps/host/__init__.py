"""The processes of application files: started, watched, restarted."""
