"""The pages under /connections/. A view reads the request, calls one function, renders or redirects; no GET calls Salesforce."""
