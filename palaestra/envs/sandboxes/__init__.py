"""Back-ends of `palaestra.envs.sandbox`: a jail of namespaces, a bare process, an interpreter without a machine."""
