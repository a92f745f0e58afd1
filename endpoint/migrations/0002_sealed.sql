-- From here on what is private of a spec is sealed. The release before would take a sealed one for
-- another spec, and have hosts stop what runs by it: it must refuse this database.
SELECT 1;
