-- omega for scripts that look for their code and data under a root: the directory that the
-- environment variable COROMEGA_ROOT names, else the current one.
local root = os.getenv("COROMEGA_ROOT")
if not root or root == "" then root = "." end

local storage_path = {}

-- Joins its arguments under the root: get_code_path("LuaLoader", "?.lua").
function storage_path.get_code_path(...)
  local path = root
  for place = 1, select("#", ...) do
    local part = select(place, ...)
    if type(part) ~= "string" and type(part) ~= "number" then
      error(("omega.storage_path.get_code_path: argument %d must be a string, not %s")
        :format(place, type(part)), 2)
    end
    path = path:gsub("/+$", "") .. "/" .. part
  end
  return path
end

return { storage_path = storage_path }
