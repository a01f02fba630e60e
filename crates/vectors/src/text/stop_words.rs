//! Function words by language: articles, pronouns, prepositions, conjunctions, auxiliary verbs.
//!
//! Lists are short on purpose: a word missing here costs a little speed, a word too much can never be searched for.

use super::language::Language;

/// The words of a language, separated by white space.
pub(super) fn of(language: Language) -> &'static str {
    match language {
        Language::English => ENGLISH,
        Language::German => GERMAN,
        Language::French => FRENCH,
        Language::Spanish => SPANISH,
        Language::Italian => ITALIAN,
        Language::Portuguese => PORTUGUESE,
        Language::Dutch => DUTCH,
        Language::Danish => DANISH,
        Language::Norwegian => NORWEGIAN,
        Language::Swedish => SWEDISH,
        Language::Finnish => FINNISH,
        Language::Hungarian => HUNGARIAN,
        Language::Romanian => ROMANIAN,
        Language::Russian => RUSSIAN,
        Language::Turkish => TURKISH,
        Language::Greek => GREEK,
        Language::Arabic => ARABIC,
        Language::Tamil => TAMIL,
    }
}

const ENGLISH: &str = "a an and are as at be but by for from had has have he her his i if in into is it its of on or \
    our she so such than that the their then there these they this to was we were what which who will with would you your";
const GERMAN: &str = "aber als am an auch auf aus bei bin bis da das dass dem den der des die doch du durch ein eine \
    einem einen einer eines er es für hat haben ich ihr im in ist ja kann mit nach nicht noch nur oder sein sich sie \
    sind so über um und uns unter vom von vor war waren was wenn wer wie wir wird zu zum zur";
const FRENCH: &str = "à au aux avec ce ces cette dans de des du elle en est et eu il ils je la le les leur lui ma mais \
    me même mes mon ne nos notre nous on ont ou où par pas pour qu que qui sa se ses son sont sur ta te tes ton tu un \
    une vos votre vous c d j l m n s t y";
const SPANISH: &str = "a al algo ante como con cual de del desde donde el él ella ellos en entre era es esa ese esta \
    este esto fue ha han hasta hay la las le les lo los más me mi mis muy ni no nos o para pero por porque que quien se \
    ser si sin sobre son su sus también te tu un una uno unos y ya yo";
const ITALIAN: &str = "a ad agli ai al alla alle allo anche c che chi ci come con cui da dagli dai dal dalla dalle dallo \
    degli dei del dell della delle dello di e è ed era gli ha hanno ho i il in io l la le lei lo loro lui ma mi ne \
    negli nei nel nella nelle nello noi non nostro o per più quale quando questa queste questi questo se si sono su sua \
    sue sugli sui sul sulla sulle sullo suo suoi tra tu un una uno vi voi";
const PORTUGUESE: &str = "a à ao aos as às até com como da das de dela dele do dos e é ela ele eles em entre era essa \
    esse esta este eu foi há isso já lhe mais mas me mesmo meu minha muito na não nas nem no nos nós o os ou para pela \
    pelo por qual quando que quem se sem ser seu sua são só também te tem um uma você";
const DUTCH: &str = "aan als bij dan dat de der deze die dit door een en er geen had haar hebben heb heeft het hij hoe \
    ik in is je kan maar me met mij mijn naar niet nog nu of om omdat onder ons ook op over te tegen toch tot u uit uw \
    van veel voor waren was wat we wel werd wie wij worden wordt ze zich zij zijn zo zou";
const DANISH: &str = "af alle at blev bliver da de dem den denne der deres det dette dig din disse dog du efter eller en \
    er et for fra ham han hans har havde hende hendes her hun hvad hvis hvor i ikke ind jeg jer jo kunne man mange med \
    meget men mig min mod når ned noget nogle nu og også om op os over på sig sin skal skulle som sådan til ud under var \
    vi vil ville vor være";
const NORWEGIAN: &str = "alle at av ble blir da de dem den denne der det dette deg din du eller en er et etter for fra \
    før ha hadde han hans har henne her hun hva hvem hvis hvor i ikke inn jeg kan kunne man med meg men min mot mye når \
    ned noe noen nå og også om opp oss over på seg selv sin skal skulle slik som så til under ut var ved vi vil ville \
    være vår";
const SWEDISH: &str = "alla allt att av blev bli blir de dem den denna deras dess det detta dig din du där då efter ej \
    eller en er ett från för ha hade han hans har henne här hon hur i icke inte jag kan kunde man med mellan men mig min \
    mot mycket ni nu när någon något och om oss på samma sedan sig sin ska skulle som så till under upp ut var vara vi \
    vid vilken vår över";
const FINNISH: &str = "ei eivät emme en että ette he hän hänen ja jo jos joka joka jotka kanssa kuin kun me minkä minä \
    mitä mikä mukaan mutta myös ne niin nämä nyt oli olivat olla on ovat se sekä sen siitä sinä sitä tai te tämä tämän \
    tässä vaan vai ja";
const HUNGARIAN: &str = "a az abban ahogy aki ami amely amit azok azt be csak de e egy egyik el én ennek és ez ezek ezt \
    fel ha hanem hogy igen is itt ki le lehet lenne lesz lett ma már meg még mert mi mint mit most nagy ne nem nincs ő \
    ők olyan ott pedig s sem sok szerint több újra úgy vagy van volt voltak";
const ROMANIAN: &str = "a acea această acest ai al ale am ar are as au avea ca că când care ce cel cei cu cum da dar de \
    din după e ea ei el este eu fi fost iar în îi îl la le lor lui mai ne ni noi nu o or pe pentru prin sa să sale sau \
    se și sunt te un una unei unor unui va vă voi";
const RUSSIAN: &str = "а без более был была были было быть в вам вас весь во вот все всего вы где да даже для до его ее \
    если есть еще же за здесь и из или им их к как ко когда кто ли либо мне может мы на надо наш не него нее нет ни них \
    но ну о об однако он она они оно от по под при с со так также такой там те тем то того тоже той только том ты у уже \
    хотя чего чей чем что чтобы чье эта эти это я";
const TURKISH: &str = "acaba ama ancak aslında az bana bazı belki ben beni benim bir biri birkaç biz bize bizi bizim bu \
    buna bunda bundan bunu bunun çok çünkü da daha de defa diye eğer en gibi hem hep hepsi her hiç için ile ise kez ki \
    kim mı mi mu mü nasıl ne neden nerde nerede niçin niye o olan olarak oldu olduğu on onlar onu onun sanki sen siz şey \
    şu tüm ve veya ya yani";
const GREEK: &str = "αλλά αν αντί από αυτά αυτές αυτή αυτό αυτός για δε δεν εάν είναι είμαι εκείνη εκείνο εκείνος ένα \
    ένας εγώ εμείς εσείς εσύ η ήταν θα και κατά μα με μετά μη μην μια να ο οι όμως όπως όταν ότι παρά που πριν προς πως \
    σαν σε στη στην στο στον στους τα της τη την τι τις το τον του τους των ως";
const ARABIC: &str = "أن أو إلى إن التي الذي الذين أي بعد بين تحت ثم حتى حين ذلك على عن عند غير في فيه قبل قد كان كانت \
    كل كما كيف لا لم لن له لها ما مع من منذ هذا هذه هل هم هنا هو هي و ولا وهو وهي يا";
const TAMIL: &str = "ஒரு என்று மற்றும் இந்த இது என்ற கொண்டு என்பது பல ஆகும் அல்லது அவர் நான் உள்ள அந்த இவர் என முதல் \
    என்ன இருந்து சில என் போன்ற வேண்டும் வந்து இதன் அது அவன் தான் பலரும் என்னும் மேலும்";
