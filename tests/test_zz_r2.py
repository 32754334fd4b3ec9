import time
import pytest
from sf_integration import health, transfer, connection_file, access, operations
from sf_integration.models import *
from .test_transfer import csv_of, line, stored_key
from .test_command_line import salesforce
from .test_admin_transfers import upload, lines
pytestmark = pytest.mark.django_db(transaction=True)

def test_big(admin_client):
    stored_key()
    t=csv_of(*[line(f"c{i}") for i in range(2000)])
    s=time.time(); rows=connection_file.read(t,name="x.csv"); print("read",time.time()-s)
    s=time.time(); r=transfer.bring_in(rows,actor=access.SHELL,dry_run=True); print("dry 2000",time.time()-s, r.counts)
    head="Name,"+",".join(f"Custom_Field_{i}__c" for i in range(30))
    t=head+"\n"+"\n".join(f"acme{j},"+",".join("v" for i in range(30)) for j in range(9000))
    print(len(t))
    s=time.time(); page=upload(admin_client,t); print("foreign",time.time()-s,len(page))
    assert 0

@pytest.mark.parametrize("args",[
 ("import","a","--label","\udcff","--login-url","https://a.my.salesforce.com","--consumer-key","x","--username","a@b.example","--signing-key","shared"),
 ("import","a","--label","x\n```\nrm","--login-url","https://a.my.salesforce.com","--consumer-key","x","--username","a@b.example","--signing-key","shared"),
 ("setup-kit","\udcff","--out","/tmp/zz1k","--login-url","https://a.my.salesforce.com","--username","a@b.example"),
 ("setup-kit","b","--out","/tmp/zz1k","--login-url","https://a.my.salesforce.com","--username","a@b.example","--label","x\n```\n# pwn\x1b[31m `id`","--org-mints-key"),
 ("setup-kit","../x","--out","/tmp/zz2k","--login-url","https://a.my.salesforce.com","--username","a@b.example"),
 ("setup-kit","c","--out","/tmp/zz3k","--login-url","https://a.my.salesforce.com","--username","-x`@b.example"),
 ("setup-kit","c","--out","/tmp/zz4k","--login-url","https://a.my.salesforce.com","--username","a@b.example","--contact-email","a@b.example<x>"),
 ("setup-kit","c","--out","/tmp/\udcffk","--login-url","https://a.my.salesforce.com","--username","a@b.example","--json"),
 ("setup-kit","c","--out","/dev/null","--login-url","https://a.my.salesforce.com","--username","a@b.example"),
 ("setup-kit","c","--out","/dev/null/x","--login-url","https://a.my.salesforce.com","--username","a@b.example"),
 ("setup-kit","c","--out","","--login-url","https://a.my.salesforce.com","--username","a@b.example"),
 ("setup-kit","c","--out","/tmp/a\0b","--login-url","https://a.my.salesforce.com","--username","a@b.example"),
 ("export","--out","/tmp"),("export","--out",""),("export","--out","/tmp/a\0b"),
 ("import","--file","/tmp"),("import","--file",""),("import","--file","/tmp/a\0b"),("import","--file","/dev/null"),
 ("explain",""),("explain","\udcff invalid_grant"),("explain","\udcff foo"),("explain","--json","\udcff foo"),
 ("check","nope","--trace"),
])
def test_cli(args):
    stored_key()
    import traceback
    try:
        r=salesforce(*args); print("\nARGS",args[:3],"OUT",repr(r.out[:1500]),"ERR",repr(r.err[:500]))
    except BaseException as e:
        print("\nCRASH",args[:4],type(e).__name__,str(e)[:200]); 
    from pathlib import Path
    for k in ("/tmp/zz1k","/tmp/zz3k"):
        p=Path(k)/"README.md"
        if p.exists(): t=p.read_text(); i=t.find("Then here"); print(repr(t[i:i+500])); import shutil; print(t[t.find("integration user** e"):][:120]); shutil.rmtree(k)
    assert 0
