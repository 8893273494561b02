"""TOFU and KnowUnDo: published sets of questions about fictitious persons, for figures that others report as well."""
