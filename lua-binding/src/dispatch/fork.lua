-- The child's side of a fork (S34).
local ws = ...

-- In a child, ends what belongs to the parent, and has the next need make a new mailbox. False: this
-- is no child, or it has been done.
function ws.renew()
  if not ws.raw.renew() then return false end
  ws.forget_fd()
  ws.end_connections()
  ws.end_listeners()
  ws.renew_log()
  return true
end
