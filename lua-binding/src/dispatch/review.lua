-- Reviews (S13): a listener's `when_request` looks at each request before it is answered.
local ws = ...

local raw = ws.raw
local error, pairs, tostring, type = error, pairs, tostring, type
local floor = math.floor
local NAME = "when_request"

-- A client or listener that has gone meanwhile is nobody's mistake.
local function answer(handle, status, subprotocol, headers, body)
  local fields = ws.flat_headers(headers, NAME, 0)
  local err, ended = raw.answer(handle, status, subprotocol, fields, body)
  if err and not ended then error(NAME .. ": " .. err, 0) end
end

local function accept(handle, extras)
  if extras ~= nil and type(extras) ~= "table" then
    error(("%s: behind true stands a table with headers and subprotocol, not %s")
      :format(NAME, type(extras)), 0)
  end
  for key, value in pairs(extras or {}) do
    if key ~= "headers" and key ~= "subprotocol" then
      error(("%s: behind true stands a table with headers and subprotocol, not %s")
        :format(NAME, tostring(key)), 0)
    elseif key == "subprotocol" and type(value) ~= "string" then
      error(("%s: the subprotocol must be a string, not %s"):format(NAME, type(value)), 0)
    end
  end
  answer(handle, 101, extras and extras.subprotocol, extras and extras.headers)
end

-- What the callback returned: nothing or true, false or a status.
local function decide(handle, verdict, more, body)
  if verdict == nil or verdict == true then return accept(handle, more) end
  if verdict == false then verdict = 403 end
  if type(verdict) ~= "number" or verdict ~= floor(verdict) or verdict < 300 or verdict > 599 then
    error(("%s: it returns nothing, true, false or a status from 300 to 599, not %s")
      :format(NAME, tostring(verdict)), 0)
  elseif body ~= nil and type(body) ~= "string" then
    error(("%s: the body must be a string, not %s"):format(NAME, type(body)), 0)
  end
  answer(handle, verdict, nil, more, body)
end

function ws.on_requested(handle)
  local request, listener = ws.request_of(handle)
  local callback = request and ws.reviewer(listener)
  if not callback then return raw.free(handle) end
  ws.launch_marked(function() decide(handle, callback(request)) end, nil, nil, nil,
    { is_request = true, handle = handle })
end

-- S4: an error in the callback. What has been answered already stays so.
function ws.refuse_request(r) raw.answer(r.handle, 500, nil, nil, nil) end
