"""`cloudfs bench`: measures directories against each other and says how it knows.

Data flows one way: `command` has the verbs, `plan` decides what to do (pure), `run` does it with
`data`, `caches`, `engines` and `training` on the `targets`, `results` holds what came out, and
`report` and `compare` read nothing else.
"""
