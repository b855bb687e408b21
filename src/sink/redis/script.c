/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/script.h"

#include <stddef.h>
#include <string.h>

/* #letter is a character constant, 'p', which in Lua is the string "p". */
#define TKR_COUNTER(symbol, name, letter, help) "[" #letter "]='" #name "',"

/* clang-format off */
const char tkr_redis_script[] =
    "local call,try,sub=redis.call,redis.pcall,string.sub\n"
    "local F={"
#include "base/counters.def"
    "}\n"
    "local function erased(k)\n"
    " return type(try('HGET','tr1:{0}:forgotten:'..redis.sha1hex(k),'at'))=='string'\n"
    "end\n"
    "local me=ARGV[1]\n"
    "local function fields(mask)\n"
    " local letters,model=string.match(mask,'^(%a*)/(.*)$')\n"
    " local f={own=model and me..':'..model or me}\n"
    " local head=model and model..':' or ''\n"
    " letters=letters or mask\n"
    " for x=1,#letters do f[x]=head..F[sub(letters,x,x)] end\n"
    " return f\n"
    "end\n"
    "local seen=call('HGET',KEYS[1],me) or ''\n"
    "local next=ARGV[3]\n"
    "local late=next~=ARGV[2] and (#seen>#next or #seen==#next and seen>=next)\n"
    "if seen==ARGV[2] and seen~=next then call('HSET',KEYS[1],me,next) end\n"
    "local out,masks,n,j={seen},{},1,4\n"
    "for i=2,#KEYS,2 do\n"
    " local k,rec,old,new,mask=KEYS[i],KEYS[i+1],ARGV[j],ARGV[j+1],ARGV[j+2]\n"
    " local f=masks[mask]\n"
    " if not f then f=fields(mask) masks[mask]=f end\n"
    " local own=f.own\n"
    " j=j+2\n"
    " local bare=old=='\\0'\n"
    " if bare then old='' end\n"
    " local r=try('HGET',rec,own) or ''\n"
    " local was={}\n"
    " if type(r)=='table' then r='?'..r.err\n"
    " elseif late or r~=old then\n"
    "  r=r=='' and old~='' and erased(k) and '~' or '='..r\n"
    " else\n"
    "  r=1\n"
    "  for x=1,old=='' and #f or 0 do\n"
    "   was[x]=try('HGET',k,f[x])\n"
    "   if bare and was[x] then r='=' end\n"
    "  end\n"
    " end\n"
    " if r==1 then\n"
    "  if new=='' then call('HDEL',rec,own) elseif new~=old then call('HSET',rec,own,new) end\n"
    "  for x=1,#f do\n"
    "   local sum=try('HINCRBY',k,f[x],ARGV[j+x])\n"
    "   if type(sum)=='table' then\n"
    "    r='!'..sum.err\n"
    "    if sub(r,2,5)=='ERR ' then r=r..' in '..f[x] end\n"
    "    for y=1,x-1 do\n"
    "     if call('HINCRBY',k,f[y],'-'..ARGV[j+y])==0 and not was[y] then try('HDEL',k,f[y]) end\n"
    "    end\n"
    "    if new~=old then call('HSET',rec,own,old) if old=='' then try('HDEL',rec,own) end end\n"
    "    break\n"
    "   end\n"
    "  end\n"
    " end\n"
    " n=n+1 out[n]=r\n"
    " j=j+#f+1\n"
    "end\n"
    "return out\n";
/* clang-format on */

#undef TKR_COUNTER

bool tkr_redis_error_is_poison(const char *error)
{
    static const char *const own[] = {
        "WRONGTYPE ",
        "ERR hash value is not an integer",
        "ERR increment or decrement would overflow",
    };

    if (error[0] == '-') /* as some versions hand it to a script */
        error++;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strncmp(error, own[i], strlen(own[i])) == 0)
            return true;
    }
    return false;
}
