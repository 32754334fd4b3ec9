"""What people and programs do with connections: the acts that pages, admin, command line and tasks share.

Each is a function anyone can call: it asks for the right, does the thing, writes the trail, and tells the result.
"""
