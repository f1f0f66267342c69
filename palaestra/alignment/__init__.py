"""How policies are updated: credit, objectives, the learner, the league, exact exploitability.

Shape suffixes, one legend for the whole library. A suffix is on a tensor where two ranks meet in one function:

| letter | axis |
|---|---|
| `_B` | rows of a micro-batch |
| `_T` | token positions |
| `_D` | hidden size |
| `_V` | vocabulary |
| `_N` | trained units (a sampled token, or a drawn action), flattened over rows |
| `_M` | distributions over legal actions |
| `_K` | candidates of a choice; responses to one prompt |
| `_Q` | queries: (position, target token) pairs |
| `_G` | members of a group |
| `_E` | episodes, or samples |
| `_S` | seats |
| `_P` | policies |
"""
