"""How fast Covey is beside what it could be compared with (`make bench`), and the README's tables (`make tables`)."""
