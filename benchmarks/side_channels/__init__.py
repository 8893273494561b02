"""Side channels: can a client tell, by anything but knowing the fact, that a rule fired? And isolation under load."""
