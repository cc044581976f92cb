"""`g1 bench`: what the suite takes and does on this computer, a module a part."""
