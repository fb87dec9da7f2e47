-- S10: the certificate of a listener, read again while it serves.
local T = require("harness")
local coromega = T.coromega

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- A certificate that signs itself, and its key.
local function certificate(name)
  local base = os.tmpname()
  os.remove(base)
  local made = { certificate_file = base .. ".pem", key_file = base .. ".key" }
  os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 "
    .. "-subj /CN=%s -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE "
    .. "-out %s -keyout %s 2>/dev/null")
    :format(name, made.certificate_file, made.key_file))
  return made
end

local function remove(made)
  os.remove(made.certificate_file)
  os.remove(made.key_file)
end

T.test("S10_a_certificate_is_read_again", function()
  local first, second, used = certificate("first"), certificate("second"), certificate("used")
  local function use(made)
    for name, path in pairs(made) do write(used[name], read(path)) end
  end
  use(first)
  local listener, accept = T.acceptor(used)
  local function trusts(made)
    local conn, err = coromega:connect_to_websocket("wss://127.0.0.1:" .. T.port(listener), nil,
      { ca_files = { made.certificate_file } })
    if conn then return T.keep(conn) end
    T.match(err, "certificate")
    return false
  end
  local early = T.ok(trusts(first))
  local server = accept()
  T.eq(trusts(second), false)
  use(second)
  T.eq(trusts(second), false)
  T.eq(select("#", listener:reload()), 0)
  T.ok(trusts(second))
  T.eq(trusts(first), false)
  -- What can't be read changes nothing, and says which file it is.
  write(used.key_file, "no key")
  T.match(listener:reload(), used.key_file:gsub("%p", "%%%0"))
  T.ok(trusts(second))
  T.eq(early:send_message("still here"), nil)
  T.eq(server:receive_message(), "still here")
  listener:close()
  T.wait(function() return not listener:address() end)
  T.eq(listener:reload(), "closed")
  for _, made in ipairs({ first, second, used }) do remove(made) end
end)

T.test("S10_without_a_certificate_there_is_nothing_to_read", function()
  T.match(T.server():reload(), "certificate_file")
end)

T.done()
