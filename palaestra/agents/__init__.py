"""Who acts: policies, the record of what they said, rendering, engines, and the play of many episodes at once."""
