"""What orgs have as standard and the stand-in has not, by name: asked for it, it says so rather than "no such thing".

The commonest only. Source: Object Reference for the Salesforce Platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .schema import SCHEMA

_SOBJECTS = """
AccountContactRelation AccountContactRole AccountHistory AccountPartner AccountShare AccountTeamMember ActivityHistory
AgentWork ApexClass ApexComponent ApexLog ApexPage ApexTestResult ApexTrigger AppMenuItem Asset AssignedResource
AssignmentRule AsyncApexJob Attachment AuthProvider AuthSession BusinessHours BusinessProcess CallCenter Campaign
CampaignMember CampaignMemberStatus CaseComment CaseHistory CaseMilestone CaseShare CaseStatus CaseTeamMember
CollaborationGroup CollaborationGroupMember ConnectedApplication ContactHistory ContactPointEmail ContactPointPhone
ContactRequest ContactShare ContentAsset ContentBody ContentDistribution ContentDocument ContentDocumentLink
ContentFolder ContentNote ContentVersion ContentWorkspace Contract ContractHistory CronTrigger CurrencyType
CustomPermission CustomObjectUserLicenseMetrics Dashboard DatedConversionRate DelegatedAccount Document DomainSite
DuplicateRecordItem DuplicateRecordSet EmailMessage EmailMessageRelation EmailServicesFunction EmailTemplate
Entitlement EntityDefinition EntitySubscription Event EventBusSubscriber EventLogFile EventRelation
ExternalDataSource FeedComment FeedItem FieldDefinition FieldPermissions FiscalYearSettings FlowDefinitionView
FlowInterview Folder Group GroupMember Holiday Idea Individual InstalledMobileApp KnowledgeArticle
KnowledgeArticleVersion Knowledge__kav Lead LeadHistory LeadShare LeadStatus ListView LoginEvent LoginGeo LoginHistory
LoginIp Macro MatchingRule MessagingSession MilestoneType NamedCredential Name Network NetworkMember Note
NoteAndAttachment OauthToken ObjectPermissions OpenActivity OperatingHours OpportunityCompetitor
OpportunityContactRole OpportunityFieldHistory OpportunityHistory OpportunityLineItem OpportunityPartner
OpportunityShare OpportunityStage OpportunityTeamMember Order OrderHistory OrderItem OrgWideEmailAddress
OutgoingEmail PackageLicense Partner Period PermissionSet PermissionSetAssignment PermissionSetGroup
PermissionSetGroupComponent PermissionSetLicense PermissionSetLicenseAssign PlatformEventUsageMetric Pricebook2
PricebookEntry ProcessDefinition ProcessInstance ProcessInstanceStep ProcessInstanceWorkitem Product2 ProductHistory
Profile Publisher PushTopic QueueSobject QuickText Quote QuoteDocument QuoteLineItem RecentlyViewed RecordType
RelationshipDomain Report ServiceAppointment ServiceContract ServiceResource ServiceTerritory SessionPermSetActivation
SetupAuditTrail SetupEntityAccess Site SlaProcess Solution StaticResource StreamingChannel TabDefinition Task
TaskPriority TaskRelation TaskStatus TenantUsageEntitlement Territory2 Topic TopicAssignment TwoFactorInfo
UserAppInfo UserAppMenuItem UserEntityAccess UserFieldAccess UserLicense UserLogin UserPackageLicense UserPreference
UserRecordAccess UserRole UserShare UserTeamMember Vote WebLink WorkOrder WorkOrderLineItem WorkType
"""

_ADDRESS = (
    "Street City State PostalCode Country Latitude Longitude GeocodeAccuracy Address StateCode CountryCode"
)


def _address(*kinds: str) -> str:
    return " ".join(f"{kind}{part}" for kind in kinds for part in _ADDRESS.split())


_EVERYWHERE = "CurrencyIsoCode LastReferencedDate LastViewedDate CreatedById LastModifiedById"
_FIELDS = {
    "Account": f"""
        {_address("Billing", "Shipping")} AccountSource ChannelProgramLevelName ChannelProgramName CleanStatus
        ConnectionReceivedId ConnectionSentId DandbCompanyId DunsNumber Fax FirstName IsBuyer IsCustomerPortal IsPartner
        IsPersonAccount Jigsaw JigsawCompanyId LastName MasterRecordId NaicsCode NaicsDesc OperatingHoursId Ownership
        PersonBirthdate PersonContactId PersonEmail PersonMobilePhone PersonTitle PhotoUrl RecordTypeId Salutation Sic
        SicDesc Site TickerSymbol Tier Tradestyle YearStarted""",
    "Contact": f"""
        {_address("Mailing", "Other")} AssistantName AssistantPhone CanAllowPortalSelfReg CleanStatus ConnectionReceivedId
        ConnectionSentId ContactSource DoNotCall EmailBouncedDate EmailBouncedReason Fax GenderIdentity HasOptedOutOfFax
        HomePhone IndividualId IsEmailBounced IsPersonAccount IsPriorityRecord Jigsaw JigsawContactId LastActivityDate
        LastCURequestDate LastCUUpdateDate LeadSource MasterRecordId MiddleName OtherPhone PhotoUrl Pronouns
        RecordTypeId ReportsToId Suffix""",
    "Opportunity": """
        CampaignId ContactId ContractId ExpectedRevenue Fiscal FiscalQuarter FiscalYear ForecastCategory
        ForecastCategoryName HasOpenActivity HasOpportunityLineItem HasOverdueTask IqScore IsPriorityRecord IsPrivate
        LastActivityDate LastActivityInDays LastAmountChangedHistoryId LastCloseDateChangedHistoryId LastStageChangeDate
        LastStageChangeInDays LeadSource Pricebook2Id PushCount RecordTypeId SyncedQuoteId Territory2Id
        TotalOpportunityQuantity Type""",
    "Case": """
        AssetId BusinessHoursId Comments CommunityId ContactEmail ContactFax ContactMobile ContactPhone
        EngineeringReqNumber__c EntitlementId HasCommentsUnreadByOwner HasSelfServiceComments IsClosedOnCreate IsEscalated
        IsStopped LastActivityDate MasterRecordId MilestoneStatus ParentId ProductId Reason RecordTypeId ServiceContractId
        SlaExitDate SlaStartDate SourceId StopStartDate SuppliedCompany SuppliedEmail SuppliedName SuppliedPhone Type""",
    "User": f"""
        {_ADDRESS} AboutMe AccountId BadgeText BannerPhotoUrl CallCenterId CommunityNickname CompanyName ContactId
        DefaultCurrencyIsoCode DefaultGroupNotificationFrequency DelegatedApproverId Department DigestFrequency Division
        EmailEncodingKey EmailPreferencesAutoBcc EmployeeNumber EndDay Extension Fax FederationIdentifier ForecastEnabled
        FullPhotoUrl IndividualId IsExtIndicatorVisible IsPortalEnabled IsProfilePhotoActive LastLoginDate
        LastPasswordChangeDate ManagerId MediumBannerPhotoUrl MediumPhotoUrl MiddleName MobilePhone
        NumberOfFailedLogins OfflineTrialExpirationDate OutOfOfficeMessage Phone ProfileId ReceivesAdminInfoEmails
        ReceivesInfoEmails SenderEmail SenderName Signature SmallBannerPhotoUrl SmallPhotoUrl StartDay
        StayInTouchNote StayInTouchSignature StayInTouchSubject Suffix Title Type UserPermissionsInteractionUser
        UserPermissionsMarketingUser UserPermissionsMobileUser UserPermissionsOfflineUser
        UserPermissionsSFContentUser UserPermissionsSupportUser UserPreferencesLightningExperiencePreferred
        UserRoleId""",
    "Organization": f"""
        {_ADDRESS} ComplianceBccEmail DefaultAccountAccess DefaultCampaignAccess DefaultCaseAccess DefaultContactAccess
        DefaultCurrencyIsoCode DefaultLeadAccess DefaultOpportunityAccess DefaultPricebookAccess Division Fax
        FiscalYearStartMonth IsReadOnly MonthlyPageViewsEntitlement MonthlyPageViewsUsed NumKnowledgeService Phone
        PreferencesRequireOpportunityProducts PrimaryContact ReceivesAdminInfoEmails ReceivesInfoEmails
        SignupCountryIsoCode UiSkin UsesStartDateAsFiscalYearName WebToCaseDefaultOrigin""",
}

_ACTIVITIES = """
    ActivityHistories AttachedContentDocuments AttachedContentNotes Attachments ContentDocumentLinks DuplicateRecordItems
    Emails Events Feeds Histories NetworkActivityAudits Notes NotesAndAttachments OpenActivities ProcessInstances
    ProcessSteps RecordAssociatedGroups Shares Tasks TopicAssignments
"""
_CHILDREN = {
    "Account": f"""
        {_ACTIVITIES} AccountContactRelations AccountContactRoles AccountPartnersFrom AccountPartnersTo
        AccountTeamMembers Assets Contracts Entitlements Orders PersonAccountUsers ServiceContracts WorkOrders""",
    "Contact": f"""
        {_ACTIVITIES} AccountContactRelations AccountContactRoles Assets CampaignMembers CaseContactRoles
        CasesContacts ContractContactRoles EmailMessageRelations OpportunityContactRoles Opportunities
        PersonRecord Quotes""",
    "Opportunity": f"""
        {_ACTIVITIES} AccountPartners OpportunityCompetitors OpportunityContactRoles OpportunityHistories
        OpportunityLineItems OpportunityPartnersFrom OpportunityTeamMembers Quotes""",
    "Case": f"{_ACTIVITIES} CaseComments CaseContactRoles CaseMilestones CaseSolutions Cases EmailMessages TeamMembers",
    "User": """
        AccountCleanInfoReviewers ContractsSigned DelegatedUsers GroupMemberships ManagedUsers OwnedContentDocuments
        PermissionSetAssignments PermissionSetLicenseAssignments UserPreferences""",
}


def _by_lower_case(names: Iterable[str]) -> Mapping[str, str]:
    return {name.lower(): name for name in names}


def _lacking(of: str, names: str) -> Mapping[str, str]:
    """Fields by their lower-case name; what the stand-in has after all is no part of them."""
    there = SCHEMA.get(of).by_name
    return {name: known for name, known in _by_lower_case(names.split()).items() if name not in there}


_SOBJECT_NAMES = _by_lower_case(_SOBJECTS.split())
_FIELD_NAMES = {of: _lacking(of, f"{names} {_EVERYWHERE}") for of, names in _FIELDS.items()}
_CHILD_NAMES = {of: _by_lower_case(names.split()) for of, names in _CHILDREN.items()}


def sobject(name: str) -> str | None:
    """The true name of an sObject that orgs have and the stand-in has not; None for any other."""
    return _SOBJECT_NAMES.get(name.lower())


def field(of: str, name: str) -> str | None:
    """Likewise a field of an sObject, as "Account.Fax"."""
    known = _FIELD_NAMES.get(of, {}).get(name.lower())
    return known and f"{of}.{known}"


def parent(of: str, name: str) -> str | None:
    """Likewise a relationship to a parent, as "User.Profile"."""
    known = field(of, f"{name}Id")
    return known and known.removesuffix("Id")


def children(of: str, name: str) -> str | None:
    """Likewise a relationship to children, as "Account.Tasks"."""
    known = _CHILD_NAMES.get(of, {}).get(name.lower())
    return known and f"{of}.{known}"
