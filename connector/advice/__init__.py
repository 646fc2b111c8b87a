"""What to do next: the open controls of a unit, ranked, and what its score would be if some of them were full.

Here live the values (values.py), the list of actions and its order (actions.py), since when a control is open
(since.py), what needs a licence (licences.py), the projected score (what_if.py) and the one call that puts them
together (advise.py). All of it is pure: a day, a catalogue and earlier days in, values out. Nothing is forecast here,
no sentence is written and no event is made. Begin with values.py, then advise.py.
"""
