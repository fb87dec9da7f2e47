-- JSON as conn:send uses it: encode, decode and null.
return require("coromega_ws").json
