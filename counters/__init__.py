"""For counter staff: which presses are live, and a client that presses them over the service's public interface."""
