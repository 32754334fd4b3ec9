import itertools, json, time, traceback
import pytest
from sf_integration import health, transfer, connection_file, access, operations
from sf_integration.models import *
from sf_integration.testing.django import ConnectableOrg
from .test_transfer import csv_of, line, stored_key
from .test_trying import unsaved
pytestmark = pytest.mark.django_db(transaction=True)

BODIES = ["[]","{}","null","\"x\"","1","[null]","[[]]",'{"records":[null]}','{"records":null}','{"records":[{}]}','{"records":[{"Id":5,"Name":[1],"OrganizationType":{},"IsSandbox":"maybe","InstanceName":3,"TrialExpirationDate":1}],"done":true,"totalSize":1}','{"records":[{"Id":"x"}],"done":false,"nextRecordsUrl":5}',
 '{"DailyApiRequests":[]}','{"DailyApiRequests":{"Max":1e999,"Remaining":1}}','{"DailyApiRequests":{"Max":0,"Remaining":0}}','{"DailyApiRequests":{"Max":-5,"Remaining":"9"}}','[{"version":5}]','[{"version":"67.0"}]','[{"version":"x","url":"y","label":null}]','[{"errorCode":5,"message":[1]}]','{"organization_id":5,"user_id":[],"preferred_username":{}}','{"organization_id":"00D000000000001","username":null,"user_id":"x","urls":5}', '{"a":"'+"x"*900000+'"}', '{"error":"invalid_grant","error_description":"'+"x y"*300000+'"}','{"error":"invalid_grant","error_description":{"a":[1]}}','{"error":["invalid_grant"]}','{"access_token":5,"instance_url":7}','{"access_token":"00D","instance_url":"https://evil.example","id":[]}', "\xff\x00", ""]
WHERE = ["/services/data/v67.0/limits","/services/data/v67.0/query","/services/data/v66.0/limits","/services/oauth2/userinfo","/id/","/services/data","identity","rest","token","any"]


def test_fuzz2(salesforce_org: ConnectableOrg, admin_user):
    from collections import Counter
    from sf_integration.salesforce import trace as T
    outs=Counter(); seen=set()
    c,key=unsaved(salesforce_org)
    for where in ["token","rest","identity","any","/services/oauth2/revoke"]:
        for status in (200,204,300,400,401,403,500):
            for body in BODIES:
                if status!=200 and body in BODIES[7:19]: continue
                salesforce_org.fail("answer",where=where,times=None,status=status,body=body)
                try:
                    t=health.try_values(c,key)
                    f=next((x for x in t.steps if x.status=='failed'),None); outs[(where,f and f.step,f and f.code[:40])]+=1
                    n=len(json.dumps(t.trace)) if t.trace else 0
                    if n>20000: print("BIG TRACE",where,status,body[:30],n)
                    if t.trace: T.as_text(t.trace)
                    n=len(json.dumps([s.as_json() for s in t.steps]))
                    if n>20000: print("BIG STEPS",where,status,body[:30],n)
                except Exception as e:
                    k=(where,type(e).__name__,str(e)[:60])
                    if k not in seen:
                        seen.add(k); print("CRASH",where,status,body[:60],type(e).__name__,e, traceback.extract_tb(e.__traceback__)[-1])
                salesforce_org.heal()
    for k,v in outs.items(): print('OUT',k,v)
    assert 0
