-- The echo server's messages in nginx: one request is one connection, which reads frame by frame and
-- answers each whole message at once, as lua-resty-websocket's documentation shows. A cosocket
-- belongs to its request, so a broadcast puts messages in each connection's queue, and a light
-- thread of each connection sends what is in it, woken by a semaphore.
local semaphore = require("ngx.semaphore")
local server = require("nginx.websocket.server")

local concat, find = table.concat, string.find
local LARGEST = 2 * 1024 * 1024

-- Messages arrive in `on_message(data, kind)` until the connection ends.
local function each(wb, on_message)
  local parts, kind
  while true do
    local data, typ, err = wb:recv_frame()
    if not data then
      if not find(err, ": timeout", 1, true) then return end
      if not wb:send_ping() then return end
    elseif typ == "text" or typ == "binary" or typ == "continuation" then
      if typ ~= "continuation" then kind = typ end
      if err == "again" then
        parts = parts or {}
        parts[#parts + 1] = data
      else
        if parts then
          parts[#parts + 1] = data
          data, parts = concat(parts), nil
        end
        if not on_message(data, kind) then return end
      end
    elseif typ == "ping" then
      if not wb:send_pong(data) then return end
    elseif typ == "close" then
      wb:send_close(err or 1000)
      return
    end
  end
end

local function accept()
  local wb = server:new({ max_payload_len = LARGEST })
  return wb or ngx.exit(400)
end

local function send(wb, data, kind)
  if kind == "text" then return wb:send_text(data) end
  return wb:send_binary(data)
end

local function echo()
  local wb = accept()
  each(wb, function(data, kind) return send(wb, data, kind) end)
  return ngx.exit(444)
end

local clients = {}

-- Sends what others put in the queue.
local function write(client)
  while true do
    client.filled:wait(60)
    local queue = client.queue
    client.queue = {}
    for _, message in ipairs(queue) do
      if not send(client.wb, message.data, message.kind) then return end
    end
  end
end

local function to_all(data, kind)
  local message = { data = data, kind = kind }
  for client in pairs(clients) do
    local queue = client.queue
    queue[#queue + 1] = message
    if #queue == 1 then client.filled:post() end
  end
  return true
end

local function broadcast()
  local client = { wb = accept(), queue = {}, filled = semaphore.new() }
  clients[client] = true
  local writer = ngx.thread.spawn(write, client)
  each(client.wb, to_all)
  clients[client] = nil
  ngx.thread.kill(writer)
  return ngx.exit(444)
end

return { echo = echo, broadcast = broadcast }
