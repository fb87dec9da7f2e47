-- coromega for scripts that begin with `require("coromega").from(omega)`.
local coromega = require("coromega_ws")

return {
  -- `omega` is what require("omega") returned; nothing of it is needed here.
  from = function() return coromega end,
}
